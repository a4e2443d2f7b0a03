// Refuses instances of bound classes whose __init__ never ran.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace geolrm {

// For an instance that came of T.__new__(T) alone, pybind11 hands out memory in which nothing has
// been constructed. The caster of a bound class derives from this one, which raises TypeError.
template <class T>
struct InitialisedCaster : pybind11::detail::type_caster_base<T> {
  bool load(pybind11::handle source, bool convert) {
    if (source && pybind11::isinstance<T>(source)) {
      const auto* type = pybind11::detail::get_type_info(typeid(T));
      auto* instance = reinterpret_cast<pybind11::detail::instance*>(source.ptr());
      if (!instance->get_value_and_holder(type).holder_constructed()) {
        const std::string name = type->type->tp_name;
        throw pybind11::type_error("the " + name + " was never initialised; make it by calling " +
                                   name + "(...)");
      }
    }
    return pybind11::detail::type_caster_base<T>::load(source, convert);
  }
};

}  // namespace geolrm

// In the global namespace, before the first binding that takes a T.
#define GEOLRM_BOUND_CLASS(T)                              \
  namespace pybind11::detail {                             \
  template <>                                              \
  struct type_caster<T> : geolrm::InitialisedCaster<T> {}; \
  }
