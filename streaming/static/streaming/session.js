// Who is signed in changes for all tabs at once: a page of somebody else is loaded anew.

const { user } = document.body.dataset;
const tabs = new BroadcastChannel("attune-user");
tabs.addEventListener("message", ({ data }) => data !== user && location.reload());
tabs.postMessage(user);
