/* GradStreamer tests: small data sets, small networks, and what running them gives
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/base/gradelement.h"
#include "lib/gradstreamer.h"

#include <glib/gstdio.h>

/* Data sets that test_init() writes: 12x12 pictures of 5 classes that differ. The last batch of 8 is smaller. */
#define TEST_TRAIN_SAMPLES 37
#define TEST_TEST_SAMPLES 21
#define TEST_BATCH 8
#define TEST_CLASSES 5
#define TEST_STEPS ((TEST_TRAIN_SAMPLES + TEST_BATCH - 1) / TEST_BATCH)

#define TEST_DATA "location=train-images labels=train-labels batch-size=8 "
#define TEST_EVALUATION "test-location=test-images test-labels=test-labels "
/* The network with something ("" or " ! queue") after each of its elements */
#define TEST_HEAD(q) " ! gradresize name=resize" q
#define TEST_BODY(q) \
  " ! gradconvstem name=stem channels=4 kernel-size=3 stride=1" q \
  " ! gradresstage name=stage1 channels=4 blocks=1 first-block=true" q \
  " ! gradresstage name=stage2 channels=8 blocks=1" q \
  " ! gradglobalpool name=pool" q " ! gradfc name=fc units=5" q
#define TEST_NETWORK(q) TEST_HEAD (q) TEST_BODY (q) " ! gradloss name=loss" q " ! "
/* A whole training; what follows are properties of the sink */
#define TEST_TRAINING "idxsrc name=source " TEST_DATA TEST_NETWORK ("") "gradadamsink name=sink "
#define TEST_QUEUES "idxsrc name=source " TEST_DATA " ! queue" TEST_NETWORK (" ! queue") \
  "gradadamsink name=sink "

/* Starts GLib's tests and GStreamer, in a new empty folder with the data sets; test_run_all() removes it. */
void test_init (int *argc, char ***argv);
int test_run_all (void);

void test_write (const gchar * name, gconstpointer data, gsize size);
void test_write_idx (const gchar * name, guint rank, const guint32 * dims, const guint8 * values);
/* Asserts that nothing but the data sets and these files are in the folder, and removes these. */
void test_assert_files (const gchar * name, ...) G_GNUC_NULL_TERMINATED;
/* log.jsonl without what depends on time */
gchar *test_read_log (void);
void test_assert_same_file (const gchar * a, const gchar * b);
void test_assert_other_file (const gchar * a, const gchar * b);

/* Aborts when the case takes longer; 0 calls it off. */
void test_watchdog (guint seconds);
/* Asserts that no element, buffer, memory … is alive. */
void test_assert_no_leaks (void);

/* Posted on the bus, in order. */
typedef struct
{
  GPtrArray *errors, *warnings; /* "name: text" */
  GString *progress;            /* a letter each: Start, Continue, cOmplete, cAnceled, Error */
  GPtrArray *steps, *epochs, *saved;    /* GstStructure of grad-step, grad-epoch, grad-saved */
  gboolean eos;
} TestResult;

GstElement *test_launch (const gchar * format, ...) G_GNUC_PRINTF (1, 2);
/* Plays until EOS or an error, stops, and tells what was posted. */
TestResult *test_play (GstElement * pipeline);
/* What was posted until now, waiting up to timeout for one of the kinds to stop at. */
void test_collect (TestResult * result, GstElement * pipeline, GstMessageType until,
    GstClockTime timeout);
TestResult *test_result_new (void);
void test_result_free (TestResult * result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestResult, test_result_free)

/* Launches, plays to EOS, asserts that no error came. */
TestResult *test_train (const gchar * format, ...) G_GNUC_PRINTF (1, 2);
/* Launches and plays: asserts that the first error comes from the element and contains all of the texts,
 * that it has no other error, and that it came without a buffer reaching an end if there was nothing to train. */
void test_assert_error (const gchar * launch, const gchar * element, const gchar * text, ...)
    G_GNUC_NULL_TERMINATED;

GstElement *test_get (GstElement * pipeline, const gchar * name);

/* How often an emulated GPU has repeated what was recorded; -1: there is none */
glong test_count_repeated (void);

/* One pad's caps and bytes of all buffers that came out of a network */
typedef struct
{
  GPtrArray *dimensions;        /* of each buffer */
  GByteArray *bytes;
  guint n;
} TestTap;

/* Watches the sink pad of an element; buffers are mapped for reading. */
TestTap *test_tap (GstElement * pipeline, const gchar * name);
void test_tap_free (TestTap * tap);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestTap, test_tap_free)

/* Frames that come to the sink pad of an element as long as this is there */
typedef struct
{
  GstPad *pad;
  gulong probe;
  GMutex lock;                  /* guards the following while the pipeline plays */
  GPtrArray *frames;            /* GstBuffer */
  gchar *caps;                  /* of the last one */
} TestVideo;

TestVideo *test_video (GstElement * pipeline, const gchar * name);
/* Forgets those that are there. */
void test_video_forget (TestVideo * video);
/* Waits until there are so many. */
void test_video_await (TestVideo * video, guint n);
void test_video_free (TestVideo * video);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TestVideo, test_video_free)

/* The caps of an element's output for an input, "" when it was refused; one buffer of zeros is pushed. */
gchar *test_output_dimensions (const gchar * element, const gchar * type, const gchar * dimensions);
