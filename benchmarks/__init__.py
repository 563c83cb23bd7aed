"""Side-by-side measurements against peers. Run as modules from the repository root: `python -m benchmarks.machine`."""
