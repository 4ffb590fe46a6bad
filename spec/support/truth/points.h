/* Forced in front of Lua's collector when the clocked interpreter is built: the functions of it
   that nobody can wrap from outside tell that they were entered. */
#ifndef RTM_TRUTH_POINTS_H
#define RTM_TRUTH_POINTS_H

enum truth_point { TRUTH_YOUNG, TRUTH_FULLGEN, TRUTH_STEPGENFULL, TRUTH_ATOMIC, TRUTH_POINTS };

void truth_enter(enum truth_point point);

#endif
