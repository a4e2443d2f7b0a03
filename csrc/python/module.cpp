// The extension module geolrm._C: one binding function per feature folder.
#include <pybind11/pybind11.h>

#include "cpu_features.h"
#include "python/bindings.h"

PYBIND11_MODULE(_C, module) {
  module.doc() = "Native kernels of geolrm.";
  module.def(
      "best_isa", [] { return std::string(geolrm::isa_name(geolrm::best_isa())); },
      "The instruction set the kernels use on this CPU: plain, avx2, avx512 or neon.");
  geolrm::bind_deformable_cross_attention(module);
  geolrm::bind_deformable_sampling(module);
  geolrm::bind_query_order(module);
  geolrm::bind_refinement(module);
  geolrm::bind_self_attention(module);
  geolrm::bind_value_projection(module);
  geolrm::dlpack::bind(module);
  geolrm::mesh::bind(module);
  geolrm::raster::bind_parameters(module);
  geolrm::raster::bind(module);
}
