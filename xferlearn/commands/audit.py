"""`xferlearn audit`: prints what is suspicious in photos and their labels."""

from xferlearn.commands import print_result
from xferlearn.config import AuditConfig
from xferlearn.training.auditing import audit_with


def run(config: AuditConfig) -> int:
    """Audits and prints the summary; returns 1 where a file that was asked for was not written."""
    result = audit_with(config)
    print_result(result)
    return 0 if result.complete else 1
