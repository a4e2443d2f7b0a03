#include "simd_plain.h"

#include "attention_kernel.h"
