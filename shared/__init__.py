"""What the functions share: the rules of tasks and money, and the ports they stand on."""

import gc

# Imports make many objects and no garbage: CPython's own threshold of 700 new objects would have
# each cold start spend a tenth of its time looking for some.
gc.set_threshold(20_000, 20, 20)
