#include "simd_plain.h"

#include "sampling_kernel.h"
