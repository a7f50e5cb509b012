"""What is suspicious in photos and their labels, and the page that shows it."""

from xferlearn.audit.findings import CLASS_KINDS, KINDS, ClassFinding, Finding
from xferlearn.audit.result import AuditResult

__all__ = ["CLASS_KINDS", "KINDS", "AuditResult", "ClassFinding", "Finding"]
