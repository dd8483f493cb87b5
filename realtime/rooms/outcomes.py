"""What drafts came to: the seq of an entry, or the error with which a draft is rejected."""

from realtime.errors import ApiError

Outcome = int | ApiError
"""The seq of a draft's entry, 0 for a change without effect, or why it was rejected."""


def encode_outcome(outcome: Outcome) -> int | str:
    """An outcome as the head stores it for the owner of a queue row."""
    if isinstance(outcome, int):
        return outcome
    return f"{outcome.code}:{outcome.revision or 0}:{outcome.message}"


def parse_outcome(outcome: int | str) -> Outcome:
    if isinstance(outcome, int):
        return outcome
    code, revision, message = outcome.split(":", 2)
    return ApiError(code, message, revision=int(revision) or None)


# --- errors -----------------------------------------------------------------------------------


def unknown_message() -> ApiError:
    return ApiError("unknown_message", "There is no such message in this conversation.")


def access_changed() -> ApiError:
    return ApiError(
        "access_changed", "The access rules of the room have just changed.", retry_after_ms=500
    )


def edit_conflict(revision: int) -> ApiError:
    return ApiError(
        "conflict", f"The message has been edited; its revision is {revision}.", revision=revision
    )


def id_conflict() -> ApiError:
    return ApiError("id_conflict", "This id was used for another message.")
