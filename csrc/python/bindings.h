// What each folder adds to the extension module geolrm._C.
#pragma once

#include <pybind11/pybind11.h>

namespace geolrm {

void bind_deformable_cross_attention(pybind11::module_& module);  // and mark_touched
void bind_deformable_sampling(pybind11::module_& module);         // and its gradients
void bind_query_order(pybind11::module_& module);
void bind_refinement(pybind11::module_& module);  // step_adam
void bind_self_attention(pybind11::module_& module);
void bind_value_projection(pybind11::module_& module);  // ValueProjection

namespace dlpack {
void bind(pybind11::module_& module);  // dlpack_capsule
}
namespace mesh {
void bind(pybind11::module_& module);  // TexturedMesh
}
namespace raster {
void bind(pybind11::module_& module);             // SplatModel
void bind_parameters(pybind11::module_& module);  // RasterParameters, raster_views
}  // namespace raster

}  // namespace geolrm
