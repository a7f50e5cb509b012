"""What is suspicious in photos and their labels, and the page that shows it."""

from xferlearn.auditing.findings import CLASS_KINDS, KINDS, ClassFinding, Finding
from xferlearn.auditing.page import write_page
from xferlearn.auditing.result import AuditResult, write_findings

__all__ = [
    "CLASS_KINDS",
    "KINDS",
    "AuditResult",
    "ClassFinding",
    "Finding",
    "write_findings",
    "write_page",
]
