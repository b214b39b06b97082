"""ganrt against everything a user could take instead, precision for precision, each in its own process, in turns.

    python -m benchmarks league                              every network; half an hour
    GANRT_BENCH_NETWORKS=face,digits python -m benchmarks league          some of them
    GANRT_BENCH_QUICK=1                                      without torch.compile, and at the smallest batch: 4 minutes

Contestants, each with the settings that its documentation gives for a CPU:

    PyTorch eager, channels last; torch.compile (max-autotune, at the smallest batch); BF16 autocast where the processor
    has it
    PyTorch's own ONNX export (torch.onnx.export, dynamo) in stock ONNX Runtime; in stock OpenVINO with the latency hint
    in FP32 and in its own default, which is BF16 where the processor has it, and with the throughput hint for batches;
    in MNN and ncnn in FP32
    ganrt: the bundle in FP32, in the default precision, and in INT8, after `ganrt tune`; and in FP32 as the first load
    finds it without

Each call begins with latents drawn anew, rivals' by numpy's generator, and ends with pixels where the network makes
pictures, and with floats where not. Beside every time stands the distance from PyTorch's FP32, in dB, of what that very
process computed: below 50 dB a row is not counted among the winners, and ganrt's own INT8 only against its gate.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    from .run import main as run  # contestants lie below this package and must not import PyTorch with it

    run()
