// SPDX-License-Identifier: GPL-2.0 OR MIT
#include "bufshare_drv.h"

#define CREATE_TRACE_POINTS
#include "bufshare_trace.h"
