/* GradStreamer tests: gradients by finite differences
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tests/testutil.h"

/* computes the output from the input again */
typedef void (*TestForward) (gpointer data);

/* Asserts that `gradient` is the one of sum (d_output * output) by every element of `input`, up to
 * tolerance * its largest value. All tensors lie on the reference device, whose doubles are moved
 * by +-step. */
void test_assert_gradient (GradTensor * gradient, GradTensor * input, GradTensor * output,
    GradTensor * d_output, TestForward forward, gpointer data, gdouble step, gdouble tolerance);
