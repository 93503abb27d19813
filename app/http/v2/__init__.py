"""/v2: the Open Inference Protocol, for clients of KServe and Triton."""
