#include "python/bindings.h"

#include "python/array_checks.h"
#include "refinement/adam.h"

namespace py = pybind11;

namespace geolrm {
namespace {

void step(const py::array& values, const py::array& mean, const py::array& square,
          const py::array& gradient, const py::array& rates, float first, float second,
          float square_bias, float floor, int threads) {
  check_threads(threads);
  std::vector<int64_t> shape(values.shape(), values.shape() + values.ndim());
  AdamArrays arrays;
  arrays.values = elements_to_write<float>(values, "values", shape);
  arrays.mean = elements_to_write<float>(mean, "mean", shape);
  arrays.square = elements_to_write<float>(square, "square", shape);
  arrays.gradient = elements<float>(gradient, "gradient", shape);
  arrays.size = values.size();
  arrays.rates = elements<float>(rates, "rates", {-1});
  arrays.period = rates.size();
  check_at_least(arrays.period, 1, "the number of rates");
  check_apart({{"values", values}, {"mean", mean}, {"square", square}},
              {{"gradient", gradient}, {"rates", rates}});
  const AdamNumbers numbers = {first, second, square_bias, floor};
  py::gil_scoped_release release;
  step_adam(arrays, numbers, threads);
}

}  // namespace

void bind_refinement(py::module_& module) {
  module.def("step_adam", step, py::arg("values"), py::arg("mean"), py::arg("square"),
             py::arg("gradient"), py::arg("rates"), py::kw_only(), py::arg("first"),
             py::arg("second"), py::arg("square_bias"), py::arg("floor"), py::arg("threads") = 0,
             R"(Take one step of Adam in place; number i moves at the rate rates[i % len(rates)].

values, mean, square and gradient have one shape, rates [P]; float32, contiguous. `first` and
`second` are the shares of the new gradient in the moments, `square_bias` corrects the second.)");
}

}  // namespace geolrm
