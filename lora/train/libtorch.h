#pragma once

// LibTorch's headers, for lora/train alone. They define a CHECK of their own, which must not meet that of base/check.h.
#pragma push_macro("CHECK")
#undef CHECK
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#pragma pop_macro("CHECK")
