"""Kernels: a step and its tensors become values and gradients.

`layout` says where the real steps of a ragged batch lie, `launch` chooses a backend and runs it,
`reference` is the definition of correct, `builtin` is torch's own operator where it fits,
`openmp` is the threads that they share.
"""

from elman.kernels import openmp
from elman.kernels.builtin import FusedParameters
from elman.kernels.launch import BACKENDS, Plan, Situation, plan, run
from elman.kernels.layout import Layout

__all__ = ["BACKENDS", "FusedParameters", "Layout", "Plan", "Situation", "plan", "run"]

openmp.survive_forks()
