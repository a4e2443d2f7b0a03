"""A plugin of pytest: on the double of the driver, kernels run by emulation."""

from doubles import driver

driver.use_kernels()
