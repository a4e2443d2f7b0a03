// The kernel template: included once for each instruction set, in its own namespace.
#include <new>

#include "chain.h"
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
  GivenGradients given = {gradients, task.view->size};
  trace_tile(task, given, static_cast<Scratch&>(scratch), recording, clock);
}

double compare_tile(const TileTask& task, const ImageTarget& target, TileScratch& scratch,
                    Recording& recording, StageClock& clock) {
  ComparedGradients compared = {target, task.view->size, task.parameters->background};
  trace_tile(task, compared, static_cast<Scratch&>(scratch), recording, clock);
  return compared.total();
}

TileScratch* new_scratch() { return new Scratch; }

void delete_scratch(TileScratch* scratch) { delete static_cast<Scratch*>(scratch); }

}  // namespace

}  // namespace geolrm::raster::GEOLRM_ISA

namespace geolrm::raster {

const RasterizerKernel RasterizerKernel::GEOLRM_ISA = {
    GEOLRM_ISA::project_splats, GEOLRM_ISA::blend_tile,   GEOLRM_ISA::trace_tile,
    GEOLRM_ISA::compare_tile,   GEOLRM_ISA::chain_splats, GEOLRM_ISA::new_scratch,
    GEOLRM_ISA::delete_scratch};

}  // namespace geolrm::raster
