/* GradStreamer: a pad that a text stream leaves by, beside a stream of frames
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GRAD_TYPE_TEXT_PAD (grad_text_pad_get_type ())
G_DECLARE_FINAL_TYPE (GradTextPad, grad_text_pad, GRAD, TEXT_PAD, GstPad)

#define GRAD_TEXT_CAPS "text/x-raw, format=(string)utf8"

/* All are called by the frames' streaming thread, and none of them waits for whoever takes the text. */
void grad_text_pad_push (GradTextPad * self, const gchar * text, const GstBuffer * frame);
void grad_text_pad_push_gap (GradTextPad * self, GstClockTime pts);
void grad_text_pad_push_event (GradTextPad * self, GstEvent * event);
void grad_text_pad_follow (GradTextPad * self, GstPad * frames);

G_END_DECLS
