"""The tests; what has to be so before a library is imported stands here.

Tests run side by side, a process a core. Threads of arithmetic that find no free core wait by
spinning: a small fit takes many times as much of the processor's time.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
