"""What the hub's client raises, as one sentence."""

import contextlib
from collections.abc import Iterator

import httpx2
from huggingface_hub.errors import (
    FileMetadataError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)

from python.console.errors import UserError

# The client's own errors, and those of the HTTP library under it.
_REFUSALS = (
    ConnectionError,
    FileMetadataError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    httpx2.HTTPError,
)


@contextlib.contextmanager
def as_user_errors(repository: str) -> Iterator[None]:
    """Inside, a refusal of the hub or of the network becomes a UserError about `repository`."""
    try:
        yield
    except _REFUSALS as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"the hub did not give {repository}: {lines[0]} (is the network there, HF_TOKEN set, "
            "the licence accepted?)"
        ) from None
