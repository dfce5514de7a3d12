"""Whether two statements, or two values of one slot, say the same.

Vectors say what is near; these rules say what is the same. A wrong merge loses truth for good
while a missed one only costs a row, so every rule errs towards two memories.
"""

from pipelines.stages.dedup.duplicate import is_duplicate
from pipelines.stages.dedup.normalise import statement_key
from pipelines.stages.dedup.values import same_value, value_key
from pipelines.stages.dedup.veto import vetoes

__all__ = ["is_duplicate", "same_value", "statement_key", "value_key", "vetoes"]
