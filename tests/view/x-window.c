/* SPDX-License-Identifier: MIT */
/*
 * What a user does to a window, in the place of a window manager and a keyboard:
 *
 *	x-window close|key|size TITLE [KEY|WIDTHxHEIGHT]
 *
 * Ends with 1 if there is no window of that title.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <X11/Xatom.h>
#include <X11/Xlib.h>
#include <X11/Xutil.h>

static Window find(Display *display, const char *title)
{
	Window root, parent, *windows = NULL, found = None;
	unsigned int n = 0, i;

	if (!XQueryTree(display, DefaultRootWindow(display), &root, &parent, &windows, &n))
		return None;
	for (i = 0; i < n && found == None; i++) {
		char *name = NULL;

		if (XFetchName(display, windows[i], &name) && name && strcmp(name, title) == 0)
			found = windows[i];
		XFree(name);
	}
	XFree(windows);
	return found;
}

static void close_window(Display *display, Window window)
{
	XEvent event = {
		.xclient = {
			.type = ClientMessage,
			.window = window,
			.message_type = XInternAtom(display, "WM_PROTOCOLS", False),
			.format = 32,
			.data.l = { (long)XInternAtom(display, "WM_DELETE_WINDOW", False) },
		},
	};

	XSendEvent(display, window, False, NoEventMask, &event);
}

static void press_key(Display *display, Window window, const char *key)
{
	XEvent event = {
		.xkey = {
			.type = KeyPress,
			.window = window,
			.root = DefaultRootWindow(display),
			.keycode = XKeysymToKeycode(display, XStringToKeysym(key)),
			.same_screen = True,
		},
	};

	XSendEvent(display, window, True, KeyPressMask, &event);
	event.xkey.type = KeyRelease;
	XSendEvent(display, window, True, KeyReleaseMask, &event);
}

int main(int argc, char **argv)
{
	unsigned int width, height;
	Display *display;
	Window window;

	display = argc >= 3 ? XOpenDisplay(NULL) : NULL;
	if (!display)
		return 2;
	window = find(display, argv[2]);
	if (window == None)
		return 1;
	if (strcmp(argv[1], "close") == 0)
		close_window(display, window);
	else if (argc == 4 && strcmp(argv[1], "key") == 0)
		press_key(display, window, argv[3]);
	else if (argc == 4 && sscanf(argv[3], "%ux%u", &width, &height) == 2)
		XResizeWindow(display, window, width, height);
	else
		return 2;
	XCloseDisplay(display);
	return 0;
}
