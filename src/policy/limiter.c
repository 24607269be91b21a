/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A token bucket that is as deep as the rate's count, counted from its top: of COUNT requests in SECONDS each costs
 * SECONDS (in nanoseconds), and COUNT nanoseconds are earned back with each one that passes. So nothing is ever
 * rounded.
 */

#include "policy/profile.h"

#define NANOSECONDS 1000000000ULL

bool policy_limiter_take(struct policy_limiter *limiter, const struct policy_profile *profile, uint64_t now_ns) {
        uint64_t rate = profile ? profile->settings[POLICY_RATE].value : 0;
        uint64_t count = policy_rate_count(rate), cost = policy_rate_seconds(rate) * NANOSECONDS;
        uint64_t elapsed = now_ns > limiter->at_ns ? now_ns - limiter->at_ns : 0;
        uint64_t depth = count * cost; /* at most 8.64e18 */
        uint64_t earned = elapsed < cost ? elapsed * count : depth;

        if (rate == 0)
                return true;
        limiter->at_ns += elapsed;
        if (limiter->spent > depth) /* at another rate, before a reload */
                limiter->spent = depth;
        limiter->spent -= earned < limiter->spent ? earned : limiter->spent;
        if (limiter->spent > depth - cost)
                return false;
        limiter->spent += cost;
        return true;
}
