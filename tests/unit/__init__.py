"""One module of shared or one function at a time, on the embedded backend."""
