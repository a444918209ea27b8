# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# A virtual screen with the viewer on it, for tests that are sourced with this file from
# the build folder.

# shellcheck source=tests/cli/lib-host.sh
. "$srcdir/tests/cli/lib-host.sh"
view=./host/view/bufshare-view

if [ ! -x "$view" ]; then
	echo "1..0 # SKIP the viewer is not built: SDL 2 is missing"
	exit 0
fi
if ! command -v Xvfb >/dev/null; then
	echo "1..0 # SKIP there is no Xvfb to show the viewer on"
	exit 0
fi

view_pid='' screen_pid=''
stop_screen() {
	[ -z "$view_pid" ] || kill "$view_pid" 2>/dev/null
	[ -z "$screen_pid" ] || { kill "$screen_pid" && wait "$screen_pid"; } 2>/dev/null
	stop_all
}
trap stop_screen EXIT

# It chooses the number of the display itself.
mkdir "$dir/screen"
mkfifo "$dir/display"
Xvfb -displayfd 3 -screen 0 640x480x24 -fbdir "$dir/screen" -nolisten tcp \
	3>"$dir/display" >"$dir/xvfb.log" 2>&1 &
screen_pid=$!
display=$(timeout 20 head -n 1 "$dir/display")
if [ -z "$display" ]; then
	sed 's/^/# /' "$dir/xvfb.log"
	die "Xvfb does not start"
fi
export DISPLAY=":$display" SDL_VIDEODRIVER=x11 SDL_RENDER_DRIVER=software SDL_AUDIODRIVER=dummy
screen=$dir/screen/Xvfb_screen0

# What libraries that SDL loads and unloads by itself keep until the end has no name any more
# by which a leak checker could leave it out.
begin_view() {
	LSAN_OPTIONS=detect_leaks=0 "$view" "$@" >"$dir/out" 2>"$dir/err" 9>&- &
	view_pid=$!
}

end_view() { # NAME STATUS PATTERN
	ended() { ! grep -qv ') Z ' "/proc/$view_pid/stat" 2>/dev/null; }
	until_true 20 ended || kill -KILL "$view_pid"
	wait "$view_pid"
	got=$?
	view_pid=
	verdict "$1" "$2" "$3" "$got"
}

# shows NAME WIDTH HEIGHT PIXELS [TOLERANCE]: it is there in good time.
shows() {
	trouble=
	until_true 20 ./tests/view/find-picture "$screen" "$2" "$3" "$4" "${5-0}" >"$dir/where" ||
		trouble="not on the screen:"
	result "$1" "$trouble"
}

on_screen() {
	./tests/view/find-picture "$screen" "$1" "$2" "$3" >/dev/null
}

# pixels SEED COUNT: bytes of XR24 that differ from their neighbours.
pixels() {
	awk -v seed="$1" -v n="$2" 'BEGIN { for (i = 0; i < n * 4; i++)
		printf "%c", 33 + (i * seed + int(i / 640)) % 90 }'
}

# window ARGUMENT...: tests/view/x-window does it, as soon as the window is there.
window() {
	until_true 20 ./tests/view/x-window "$@"
}
