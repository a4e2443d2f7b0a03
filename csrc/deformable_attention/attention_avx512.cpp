#include "simd_avx512.h"

#include "attention_kernel.h"
