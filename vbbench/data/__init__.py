"""Where subjects and prompts come from: suites, the drawn world, real videos, other benchmarks."""
