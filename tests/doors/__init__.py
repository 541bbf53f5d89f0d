"""What must stay shut: forged tokens, callbacks to where they must not go, nasty input."""
