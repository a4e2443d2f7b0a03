// What the stress programs share: numbers drawn alike by every C++ library, the instruction sets of
// this CPU, and results in a file, so that those of two machines can be held together.
#pragma once

#include <cstdint>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu_features.h"

namespace geolrm::stress {

// In [0, 1). The standard's distributions differ between libraries; its generator does not.
inline float unit(std::mt19937& random) { return static_cast<float>(random() >> 8) * 0x1p-24f; }

// Each this CPU runs.
inline std::vector<Isa> isas() {
  std::vector<Isa> found;
  for (const Isa isa : {Isa::kPlain, Isa::kAvx2, Isa::kAvx512, Isa::kNeon}) {
    try {
      found.push_back(parse_isa(isa_name(isa)));
    } catch (const std::invalid_argument&) {  // another machine's
    }
  }
  return found;
}

// Arrays of a run: "isa name count\n" and as many floats, one array after the other. Without a path
// only their hash is kept.
class Results {
 public:
  explicit Results(const char* path) : file_(path ? std::fopen(path, "wb") : nullptr) {
    if (path && !file_) throw std::runtime_error(std::string("cannot write ") + path);
  }
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
  ~Results() {
    if (file_) std::fclose(file_);
  }

  void add(const char* isa, const char* name, const std::vector<float>& values) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
    for (std::size_t i = 0; i < 4 * values.size(); ++i) hash_ = (hash_ ^ bytes[i]) * 1099511628211u;
    if (!file_) return;
    std::fprintf(file_, "%s %s %zu\n", isa, name, values.size());
    if (std::fwrite(values.data(), 4, values.size(), file_) != values.size()) {
      throw std::runtime_error("the file of results cannot be written");
    }
  }
  // FNV-1a of all since the last call.
  uint64_t hash() {
    const uint64_t all = hash_;
    hash_ = 14695981039346656037u;
    return all;
  }

 private:
  std::FILE* file_;
  uint64_t hash_ = 14695981039346656037u;
};

}  // namespace geolrm::stress
