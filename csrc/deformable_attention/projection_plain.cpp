#include "simd_plain.h"

#include "projection_kernel.h"
