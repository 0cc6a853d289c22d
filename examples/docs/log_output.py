# --8<-- [start:configure]
from quintet import current_request
from quintet.observability.logging import configure_logging


def request_id() -> str | None:
    request = current_request.get(None)
    return request.id if request is not None else None


configure_logging(json=True, level="INFO", request_id=request_id)
# --8<-- [end:configure]
