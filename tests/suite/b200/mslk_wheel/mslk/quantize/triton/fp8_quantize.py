"""A name that torchao imports and that nothing here calls."""

quantize_fp8_row = None
