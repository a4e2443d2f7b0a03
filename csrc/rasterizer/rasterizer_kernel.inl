// The kernel template: included once for each instruction set, in its own namespace.
#include <new>

#include "project.h"
#include "rasterizer_kernel.h"
#include "trace.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

bool blend_tile(const TileTask& task, TileScratch& scratch, StageClock& clock) {
  Scratch& s = static_cast<Scratch&>(scratch);
  return task.cull ? blend_tile<true>(task, s, clock) : blend_tile<false>(task, s, clock);
}

void trace_tile(const TileTask& task, const ImageGradients& gradients, TileScratch& scratch,
                Recording& recording, StageClock& clock) {
  trace_tile(task, gradients, static_cast<Scratch&>(scratch), recording, clock);
}

TileScratch* new_scratch() { return new Scratch; }

void delete_scratch(TileScratch* scratch) { delete static_cast<Scratch*>(scratch); }

}  // namespace

}  // namespace geolrm::raster::GEOLRM_ISA

namespace geolrm::raster {

const RasterizerKernel RasterizerKernel::GEOLRM_ISA = {
    GEOLRM_ISA::project_splats, GEOLRM_ISA::blend_tile, GEOLRM_ISA::trace_tile,
    GEOLRM_ISA::new_scratch, GEOLRM_ISA::delete_scratch};

}  // namespace geolrm::raster
