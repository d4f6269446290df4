"""Detects the scenes of a video with PySceneDetect."""

from pathlib import Path

from api.jobs.preprocessing.recipe import Span
from api.jobs.preprocessing.videos import Tick

#: Seconds of the video between two ticks.
_CHUNK_SECONDS = 5.0


def find_scenes(path: Path, threshold: float, min_seconds: float, tick: Tick) -> list[Span]:
    """Return the scenes in seconds, in order; at least one. Raises ValueError, OSError."""
    # PySceneDetect is optional, and slow to import because of OpenCV.
    from scenedetect import ContentDetector, SceneManager, open_video  # noqa: PLC0415

    video = open_video(str(path), backend="pyav")
    fps = float(video.frame_rate)
    manager = SceneManager()
    manager.add_detector(ContentDetector(threshold=threshold, min_scene_len=max(1, int(min_seconds * fps))))
    chunk, at = max(1, int(_CHUNK_SECONDS * fps)), 0
    while manager.detect_scenes(video, duration=chunk):
        at += chunk
        tick(at / fps)
    found = manager.get_scene_list(start_in_scene=True)
    return [(float(begin.seconds), float(end.seconds)) for begin, end in found]
