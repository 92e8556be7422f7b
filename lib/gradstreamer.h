/* GradStreamer: the whole public API
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradtypes.h"
#include "tensor/gradshape.h"
#include "tensor/gradtensor.h"
#include "device/graddevice.h"
#include "model/gradclassifier.h"
#include "model/gradmodel.h"
#include "model/gradparameter.h"
#include "model/gradrandom.h"
#include "model/gradsafetensors.h"
#include "model/gradsummary.h"
#include "data/gradclassification.h"
#include "data/graddataset.h"
#include "data/gradframesmeta.h"
#include "autograd/gradunit.h"
#include "autograd/gradnetwork.h"
#include "autograd/gradbus.h"
#include "autograd/gradgraph.h"
#include "autograd/gradsamplemeta.h"
