"""The graphs of a bundle on an NVIDIA GPU: is FP16 there what the gate said, and what does each form cost?

    python -m benchmarks.gpu.prepare FOLDER [NETWORK ...]
        bundles and TensorRT-RTX plans; needs ganrt[export,rtx], no GPU
    python -m benchmarks.gpu.measure FOLDER RESULT.json [NETWORK ...]
        on the GPU; needs torch with CUDA, onnxruntime-gpu, and tensorrt-rtx where there are plans

Every graph is held to its own FP32 on the CPU over 256 samples, then timed at batch 1, 8 and 64 with inputs and outputs
on the device, the call and one synchronisation in the clock. Rivals: PyTorch eager (channels last) and torch.compile
(max-autotune) in FP32 without TF32 and in FP16, on the same module.

Seen on an H100: the gate's emulated float16 foretold the real one within 3 dB (76.6, 73.4 and 76.1 dB against 76.3,
71.0 and 77.1); the rewritten forms are faster there as well; ONNX Runtime's transposed convolutions are slower in
float16 than in float32. TensorRT-RTX 1.7 refuses the card: it knows capabilities of RTX cards, 9.0 is none of them.
"""
