/* GradStreamer tests: what a fuzz target consists of
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/gradstreamer.h"

/* libFuzzer calls these, or driver.c. */
int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const guint8 * data, gsize size);

/* Aborts unless there is either a result or an error that a person can read. */
void fuzz_check (gconstpointer result, const GError * error);
