// Theme: the colours that a person chose, before anything is painted. "auto" is what the system has.

document.documentElement.dataset.theme = localStorage.getItem("letterwise theme") ?? "auto";
