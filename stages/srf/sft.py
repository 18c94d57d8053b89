"""Stage 1: fine-tune the base on good answers."""

from stages.common.sft import Sft, run

__all__ = ["Sft", "run"]
