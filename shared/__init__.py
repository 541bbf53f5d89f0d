"""What the functions share: the rules of tasks and money, and the ports they stand on."""
