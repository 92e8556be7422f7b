/* GradStreamer: the elements of the plugin, and its tracer
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

GST_ELEMENT_REGISTER_DECLARE (idxsrc);
GST_ELEMENT_REGISTER_DECLARE (gradaugment);
GST_ELEMENT_REGISTER_DECLARE (gradresize);
GST_ELEMENT_REGISTER_DECLARE (gradconvstem);
GST_ELEMENT_REGISTER_DECLARE (gradresstage);
GST_ELEMENT_REGISTER_DECLARE (gradglobalpool);
GST_ELEMENT_REGISTER_DECLARE (gradfc);
GST_ELEMENT_REGISTER_DECLARE (gradloss);
GST_ELEMENT_REGISTER_DECLARE (gradadamsink);
GST_ELEMENT_REGISTER_DECLARE (gradsgdsink);
GST_ELEMENT_REGISTER_DECLARE (gradclassify);
GST_ELEMENT_REGISTER_DECLARE (gradoverlay);
GST_ELEMENT_REGISTER_DECLARE (gradpublish);
GST_ELEMENT_REGISTER_DECLARE (gradmodel);
GST_ELEMENT_REGISTER_DECLARE (gradtovideo);
GST_ELEMENT_REGISTER_DECLARE (gradfromvideo);
GST_ELEMENT_REGISTER_DECLARE (gradplotsrc);
GST_ELEMENT_REGISTER_DECLARE (gradbusview);
GType grad_times_get_type (void);

G_END_DECLS
