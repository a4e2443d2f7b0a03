// Which instruction set the kernels run with, chosen once at run time.
#pragma once

#include <string>

namespace geolrm {

enum class Isa { kPlain, kAvx2, kAvx512, kNeon };

// The best set that this CPU and operating system support.
Isa best_isa();

// "plain", "avx2", "avx512", "neon"; an empty name means best_isa(). Throws std::invalid_argument
// for an unknown name or a set that this CPU lacks.
Isa parse_isa(const std::string& name);

const char* isa_name(Isa isa);

}  // namespace geolrm
