/* GradStreamer benchmark of kernels: oneDNN's convolutions alone
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cases.h"
#include "kernels/kernels.h"

G_BEGIN_DECLS

/* A convolution of oneDNN's, without a bias, whose tensors have the layouts that it likes best */
typedef struct _BenchPeer BenchPeer;

typedef enum
{
  BENCH_PEER_DIRECT,
  BENCH_PEER_AUTO,              /* Winograd where oneDNN has it */
  BENCH_N_PEERS
} BenchPeerAlgorithm;

/* For convolutions of a training step, on the cpu device, in its precision. In the compute thread, like all of these. */
BenchPeer *bench_peer_new (GradDevice * device, const BenchCase * c, BenchPeerAlgorithm algorithm,
    GError ** error);
void bench_peer_free (BenchPeer * peer);
gboolean bench_peer_run (BenchPeer * peer, GError ** error);

G_END_DECLS
