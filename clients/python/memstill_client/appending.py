"""Appending to the intake Stream while it is not too long: one script, one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from memstill_client.errors import Busy
from memstill_client.tracing import current_traceparent
from memstill_client.wire import LANE_FIELD, STREAM_FIELD, TRACE_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client.pushes import Push

# The length is looked at once for all entries of a call: they are taken in together or not at
# all, so the Stream is at most one chunk longer than it should be. An error of Redis comes back
# as it is: before version 7 it would be one of the script, by the number of a line.
SCRIPT: Final = """
local function told(answer)
  return redis.error_reply((string.gsub(answer.err, '^@user_script:%s*%d+:%s*%-?', '')))
end
local waiting = redis.pcall('XLEN', KEYS[1])
if type(waiting) == 'table' and waiting.err then return told(waiting) end
if waiting >= tonumber(ARGV[1]) then return -waiting end
for place = 5, #ARGV, 3 do
  local body, lane, trace, answer = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  if lane == '' and trace == '' then
    answer = redis.pcall('XADD', KEYS[1], '*', ARGV[2], body)
  else
    local fields = {ARGV[2], body}
    if lane ~= '' then fields[3], fields[4] = ARGV[3], lane end
    if trace ~= '' then fields[#fields + 1], fields[#fields + 2] = ARGV[4], trace end
    answer = redis.pcall('XADD', KEYS[1], '*', unpack(fields))
  end
  if type(answer) == 'table' and answer.err then return told(answer) end
end
return waiting
"""
RETRY_SECONDS: Final = 5.0


def make_arguments(key: str, pushes: Sequence[Push], max_waiting: int) -> list[str | bytes | int]:
    """What the script is called with: the key, the limit, the names of fields, and their values.

    A field whose value is empty is left out.
    """
    arguments: list[str | bytes | int] = [key, max_waiting, STREAM_FIELD, LANE_FIELD, TRACE_FIELD]
    trace = current_traceparent() or ""
    for push in pushes:
        arguments += [push.body, "" if push.lane == "interactive" else push.lane, trace]
    return arguments


def check_taken(answer: int, max_waiting: int) -> None:
    """Read what the script answered.

    Raises:
        Busy: Too much waits; nothing was taken in.
    """
    if answer < 0:
        raise Busy(
            f"{-answer:,} transcripts wait already, of {max_waiting:,} allowed "
            "(MEMSTILL_MAX_WAITING); nothing was taken in: repeat the call later, and add "
            "workers, or look whether any runs, if that goes on",
            retry_after_seconds=RETRY_SECONDS,
        )
