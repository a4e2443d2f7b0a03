// The kernel template: included once for each instruction set, in its own namespace.
#include <new>

#include "candidates.h"
#include "kernel.h"
#include "tile.h"

namespace geolrm::raster::GEOLRM_RASTER_ISA {
namespace {

bool render_tile(const TileTask& task, TileScratch& scratch, StageClock& clock) {
  Scratch& s = static_cast<Scratch&>(scratch);
  return task.cull ? draw_tile<true>(task, s, task.keys, task.boxes, clock)
                   : draw_tile<false>(task, s, task.keys, task.boxes, clock);
}

TileScratch* new_scratch() { return new Scratch; }

void delete_scratch(TileScratch* scratch) { delete static_cast<Scratch*>(scratch); }

}  // namespace

const Kernel kKernel = {find_candidates, render_tile, new_scratch, delete_scratch};

}  // namespace geolrm::raster::GEOLRM_RASTER_ISA
