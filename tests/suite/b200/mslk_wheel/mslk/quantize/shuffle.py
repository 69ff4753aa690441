"""Names that torchao imports and that nothing here calls."""

int4_row_quantize = int4_row_quantize_zp = pack_int4 = quantize_int4_preshuffle = None
