/* What the agent has to say without being asked: a line on standard error, at most one in ten
   seconds, whatever a client or the system does. */
#ifndef RTM_AGENT_COMPLAINT_H
#define RTM_AGENT_COMPLAINT_H

#include "ground/check.h"

/* "rtmetrics.agent: " and the text, and how many lines were kept back since the last one. Keeps
   errno. Runs: any ordinary thread. */
void rtm_complaint_write(const char *format, ...) RTM_PRINTF(1, 2);

#endif
