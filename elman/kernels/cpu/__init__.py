"""Kernels for the CPU: code emitted with llvmlite."""
