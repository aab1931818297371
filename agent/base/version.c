/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/base/version.h"

#ifdef VOUCHSAFE_DEV
const bool version_is_dev = true;
#define SUFFIX " DEVELOPMENT"
#else
const bool version_is_dev = false;
#define SUFFIX ""
#endif

const char version_text[] = VOUCHSAFE_VERSION " (" VOUCHSAFE_REVISION ")" SUFFIX;
